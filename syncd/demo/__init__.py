"""The embedded default: a strict S3 and STS store on local disk, and the whole of syncd in one command."""
