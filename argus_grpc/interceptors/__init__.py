"""What happens around every call, one job a file. The order is declared in server.py."""
