"""Pictures of results and histories, as matplotlib figures that belong to no window."""
