"""Profiles: what deployments that lag behind a format take of it, a data file each."""
