"""What may be wrong with a data set: copies, conflicts, masks, near copies, images far from those trained on."""
