"""Functions for CVAT: modules for cvat-cli and CVAT's agents, and handlers for nuclio.

    cvat-cli task auto-annotate 7 --function-module masklet.integrations.cvat.detector -p model=str:sam2.1-tiny
    cvat-cli function run-agent 3 --function-module masklet.integrations.cvat.interactor
    cvat-cli function run-agent 4 --function-module masklet.integrations.cvat.tracker

Each of these modules has `create`, which takes the options of `masklet.load`, and needs cvat-sdk. `nuclio` does not.
"""
