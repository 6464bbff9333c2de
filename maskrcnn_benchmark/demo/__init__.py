"""The web demo of a trained network: `serve.serve_demo`; without its page, which needs gradio, `session.Demo`."""
