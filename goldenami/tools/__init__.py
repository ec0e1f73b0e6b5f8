"""Third-party libraries and programs; each is imported in one module of this package."""
