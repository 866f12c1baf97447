"""What a trained network answers, and how good and how honest that is."""
