"""What a measurement needs of the kernel and of a clock, and how it is printed. Never a word of what is measured."""
