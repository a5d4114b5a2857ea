"""Makes the bucket of MLflow's artifacts in the object store, unless it is there: `python bucket.py NAME`; addresses
and keys come from the environment.
"""

import os
import sys


def make(name: str) -> None:
    """Create the bucket `name`; nothing happens when it is ours already."""
    import boto3
    from botocore.exceptions import ClientError

    store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    try:
        store.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        store.create_bucket(Bucket=name)


if __name__ == "__main__":
    make(sys.argv[1])
