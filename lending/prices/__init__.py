"""Where prices come from: exchanges through ccxt, Chainlink feeds on chain, and a simulator of exchanges for the demo."""
