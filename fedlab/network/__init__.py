"""Links between the server and its clients, and when clients can be reached."""
