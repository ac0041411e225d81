"""Pictures of what was seen. Only this room knows matplotlib."""
