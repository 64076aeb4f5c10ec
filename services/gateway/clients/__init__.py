"""The gateway's calls to its neighbours, in the words of the use cases. Never a decision."""
