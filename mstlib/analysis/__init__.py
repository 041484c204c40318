"""What a spiking network does: its errors, its operations, its signals, what it looks at."""
