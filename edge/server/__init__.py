"""The fronts: they make exchanges of requests, and serve what is not the API's."""
