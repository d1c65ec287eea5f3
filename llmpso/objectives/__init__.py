"""What can be tuned: the protocol a user implements, and the objectives that ship."""
