# Variables of golden.pkr.hcl. A run sets them in golden.auto.pkrvars.json; override them with packer build -var NAME=VALUE .

variable "region" {
  type        = string
  description = "The AWS region."
}

variable "endpoint_url" {
  type        = string
  description = "A custom endpoint of the EC2 API; used only if the recipe's target has one."
  default     = ""
}

variable "source_ami" {
  type        = string
  description = "The id of the source AMI."
}

variable "ami_name" {
  type        = string
  description = "The name of the AMI; it must be unique, so a replay needs another one."
}

variable "ami_description" {
  type        = string
  description = "A one-line description of the AMI."
}

variable "instance_type" {
  type        = string
  description = "The instance type of the builder."
}

variable "ssh_username" {
  type        = string
  description = "The default user of the source AMI."
}

variable "ssh_private_key_file" {
  type        = string
  description = "The private key of the run."
  default     = "ssh_key"
}

variable "ssh_public_key_file" {
  type        = string
  description = "The public key that the user data installs on the builder."
  default     = "ssh_key.pub"
}

variable "subnet_id" {
  type        = string
  description = "The builder's subnet; used only if the recipe's target has one."
  default     = ""
}

variable "security_group_ids" {
  type        = list(string)
  description = "The builder's security groups; Packer creates a temporary one if empty."
  default     = []
}

variable "ssh_cidrs" {
  type        = list(string)
  description = "The CIDR blocks that a temporary security group allows."
}

variable "iam_instance_profile" {
  type        = string
  description = "The instance profile of the builder, for Parameter Store."
  default     = ""
}

variable "kms_key_id" {
  type        = string
  description = "The KMS key that encrypts the root volume; used only if the recipe's target has one."
  default     = ""
}

variable "root_device" {
  type        = string
  description = "The device name of the source AMI's root volume."
}

variable "volume_size" {
  type        = number
  description = "The size of the root volume in GiB."
}

variable "volume_type" {
  type        = string
  description = "The EBS type of the root volume."
}

variable "volume_iops" {
  type        = number
  description = "The IOPS of the root volume (gp3)."
}

variable "volume_throughput" {
  type        = number
  description = "The throughput of the root volume in MiB/s (gp3)."
}

variable "encrypted" {
  type        = bool
  description = "Whether the root volume, and so the AMI, is encrypted."
}

variable "tags" {
  type        = map(string)
  description = "The tags of the AMI and of its snapshot."
}

variable "run_tags" {
  type        = map(string)
  description = "The tags of the builder and its volume; sweep finds crashed runs by them."
}

variable "manifest" {
  type        = map(string)
  description = "Custom data of the manifest."
}
