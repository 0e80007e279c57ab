"""Many runs of one file: trained, resumed, or billed anew."""
