"""What the two kinds of workers do with the chunks that Faust hands them."""
