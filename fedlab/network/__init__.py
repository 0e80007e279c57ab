"""Links between the server and its clients, and the availability of clients."""
