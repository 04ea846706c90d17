"""What a sweep would do, before anything is started."""
