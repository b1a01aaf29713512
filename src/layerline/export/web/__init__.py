"""EXPORT: a model as WebAssembly, for web pages: the module, a complete page, and the panel of a report."""
