"""Settings: base (everything), local (demo and development), test, production."""
