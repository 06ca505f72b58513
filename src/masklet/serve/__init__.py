"""`masklet serve`: one process with one model, an API of its own and the protocols of annotation tools.

`service.py` is what every protocol is written against. It knows no HTTP. Its coroutines run on the server's event loop;
the model runs in one thread, which takes turns between the steps of all requests.

    image  = await service.read_image(data)                  # bytes of a file, base64 or a data: URL → ServedImage
    image  = service.find_image(key)                         # an image that was sent before, by `ServedImage.key`
    masks  = await service.predict(image, prompts)           # prompts: click(), box(), mask(), …, list or {id: prompt}
    found  = await service.generate(image, options)          # automatic masks: `GeneratedMasks`
    result = await service.run_in_thread(encode, masks)      # PNG, RLE, polygons: work that takes CPU time
    video  = await service.open_frames([data, …])            # or open_path(name), below --root; or open_upload(path)
    async for frame in service.track(video, {0: {1: click(3, 4)}}, start=0, stop=20, direction="forward"): …
    session = await service.sessions.create(video)           # a stateful video, ended after a time without requests
    session = service.sessions.get(session_id)               # prompt, propagate, cancel, close: `VideoSession`
    data   = await service.fetch(url, headers)               # only addresses that the operator allowed
    info   = service.model_info                              # name, runtime, device, input size, …

Errors are `MaskletError` with stable codes: `overloaded` when too many requests wait, `session-gone` for sessions that
ended, `input-not-found` for unknown keys and paths, and those of `masklet.load`'s methods.

A protocol is a module of `serve/protocols/` with three names; `protocols/__init__.py` lists the modules:

    PREFIX = "/label-studio"                                  # where the server mounts its routes
    def routes(service: Service) -> list[BaseRoute]: …        # Starlette or FastAPI routes below the prefix
    def make_error_response(problem: Problem) -> Response: …  # the tool's form of an error
    ROOT_PATHS = ("/api/functions",)                          # optional: paths that are also served without the prefix

Routes may raise `MaskletError` and `HTTPException`. The server turns both, and its own refusals below the prefix (a
token that is missing, a body that is too large, a queue that is full), into `Problem` and calls `make_error_response`.
`Problem.headers` contains `Retry-After` where the request may be repeated. `body.py` reads bodies within the limits:
`await read_json(request)`, `await read_form(request)`; the server has checked the token, `Host` and `Origin` before.
"""
