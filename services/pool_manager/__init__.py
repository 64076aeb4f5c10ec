"""The pool manager: who may leave through which IP, until when. Never sees a click's chain."""
