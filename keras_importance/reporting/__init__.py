"""What is told, and how: pictures, writers, the HTML page, the console."""
