"""The API of `masklet serve`: `/v1` by HTTP and a WebSocket, described by `/openapi.json` and docs/serving.md."""
