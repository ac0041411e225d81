"""Claims about real trainers and predictors under the guard."""
