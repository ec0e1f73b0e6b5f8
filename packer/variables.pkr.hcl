# The values that a run gives to golden.pkr.hcl, in golden.auto.pkrvars.json. Any can be set by hand: packer build -var NAME=VALUE .

variable "region" {
  type        = string
  description = "The AWS region."
}

variable "endpoint_url" {
  type        = string
  description = "Another address of the EC2 API; used only where the recipe's target has one."
  default     = ""
}

variable "source_ami" {
  type        = string
  description = "The AMI to start from: a literal id, so that a replay starts from the same one."
}

variable "ami_name" {
  type        = string
  description = "The name of the AMI; EC2 takes each name once, so a replay wants another."
}

variable "ami_description" {
  type        = string
  description = "What the AMI holds, in a line."
}

variable "instance_type" {
  type        = string
  description = "The instance type that builds."
}

variable "ssh_username" {
  type        = string
  description = "The default user of the source AMI."
}

variable "ssh_private_key_file" {
  type        = string
  description = "The run's own private key, made for it alone."
  default     = "ssh_key"
}

variable "ssh_public_key_file" {
  type        = string
  description = "Its public half, which user data hands to the builder."
  default     = "ssh_key.pub"
}

variable "subnet_id" {
  type        = string
  description = "The builder's subnet; used only where the recipe's target has one."
  default     = ""
}

variable "security_group_ids" {
  type        = list(string)
  description = "The builder's security groups; with none, Packer makes a temporary one."
  default     = []
}

variable "ssh_cidrs" {
  type        = list(string)
  description = "The networks that a temporary security group lets in."
}

variable "iam_instance_profile" {
  type        = string
  description = "The instance profile of the builder, for Parameter Store."
  default     = ""
}

variable "kms_key_id" {
  type        = string
  description = "The key that encrypts the root volume; used only where the recipe's target has one."
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
  description = "Its operations a second (gp3)."
}

variable "volume_throughput" {
  type        = number
  description = "Its MiB a second (gp3)."
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
  description = "The tags of the builder and its volume, by which a dead run is swept up."
}

variable "manifest" {
  type        = map(string)
  description = "What the manifest says beside the AMI id."
}
