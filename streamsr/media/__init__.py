"""What the project knows of media formats."""
