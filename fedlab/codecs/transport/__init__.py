"""Transport of coded messages: a grid above the billing grid, and a ClientApp around the training one."""
