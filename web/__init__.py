"""The web interface of the agent: it uses `agent.control` and the model, nothing behind them."""
