"""The fronts: they make calls of requests, and serve what is not the API's."""
