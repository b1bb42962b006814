"""What happened: one row an event, in the transaction of the change; outbox, history and stream."""
