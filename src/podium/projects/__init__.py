"""Projects: everything belongs to one; names, weights, and how a request names its own."""
