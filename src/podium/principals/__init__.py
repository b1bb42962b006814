"""Who is asking: tokens, what they may do, and how a request shows its own."""
