"""Files of models that other libraries wrote: read and written."""
