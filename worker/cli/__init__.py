"""What a person types, and the folder that stands in for AWS in `collage process`."""
