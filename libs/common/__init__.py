"""What all services need, in rooms by duty. Never a decision of one service alone."""
