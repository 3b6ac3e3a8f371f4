"""The methods of explanation, one file each, and the parts they share."""
