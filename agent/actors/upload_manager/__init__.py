"""The upload manager: upload jobs as routes that come and go."""
