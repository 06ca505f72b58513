"""HTTP servers of the studio and of `masklet serve`: access, problems, connections, and the thread of the model."""
