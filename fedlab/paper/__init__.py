"""The figures of the published study, compared with ours."""
