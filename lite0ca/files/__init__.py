"""Files and folders appear whole or not at all, and none over what is not ours."""
