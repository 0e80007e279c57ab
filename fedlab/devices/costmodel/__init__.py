"""What a pass costs on a board, one model family a file."""
