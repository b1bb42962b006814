"""What was made of files by ``podium apply``, and by which set of them."""
