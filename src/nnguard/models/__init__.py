"""A model folder as a subject: what check, audit, repair and the predictor hook share."""
