"""Reading the manifests and lock files of package managers, as data only."""
