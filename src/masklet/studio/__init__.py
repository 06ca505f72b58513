"""The studio: a local server and a page in the browser that segments, tracks, corrects and exports."""
