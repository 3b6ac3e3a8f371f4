"""How the colorectal histology bundle is trained and measured. Inference and explanation need none of it."""
