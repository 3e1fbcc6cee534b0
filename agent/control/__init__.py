"""What the web and the command line may ask of a running agent."""
