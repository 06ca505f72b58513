"""Interactor of CVAT as a function of nuclio. `function.yaml` sets the model."""

from masklet.integrations.cvat.nuclio import make_handlers

init_context, handler = make_handlers("interactor")
