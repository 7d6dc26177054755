package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Every name is a key, made of the name; one that ends in missing, denied, disabled or damaged is refused as such, or answers with a wrong checksum.
type keyService struct {
	kmspb.UnimplementedKeyManagementServiceServer
}

func (*keyService) Encrypt(_ context.Context, request *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	seal, err := open(request.Name, "useToEncrypt")
	if err != nil {
		return nil, err
	}
	if sum := request.PlaintextCrc32C; sum != nil && sum.Value != sumOf(request.Plaintext) {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field plaintext_crc32c did not match the data in field plaintext.")
	}
	nonce := make([]byte, seal.NonceSize())
	rand.Read(nonce)
	ciphertext := seal.Seal(nonce, nonce, request.Plaintext, request.AdditionalAuthenticatedData)
	sum := sumOf(ciphertext)
	if strings.HasSuffix(request.Name, "damaged") {
		sum++
	}
	return &kmspb.EncryptResponse{
		Name:                    request.Name + "/cryptoKeyVersions/1",
		Ciphertext:              ciphertext,
		CiphertextCrc32C:        wrapperspb.Int64(sum),
		VerifiedPlaintextCrc32C: request.PlaintextCrc32C != nil,
	}, nil
}

func (*keyService) Decrypt(_ context.Context, request *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	seal, err := open(request.Name, "useToDecrypt")
	if err != nil {
		return nil, err
	}
	if sum := request.CiphertextCrc32C; sum != nil && sum.Value != sumOf(request.Ciphertext) {
		return nil, status.Error(codes.InvalidArgument, "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.")
	}
	if len(request.Ciphertext) < seal.NonceSize() {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid.")
	}
	nonce, sealed := request.Ciphertext[:seal.NonceSize()], request.Ciphertext[seal.NonceSize():]
	plaintext, err := seal.Open(nil, nonce, sealed, request.AdditionalAuthenticatedData)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
	}
	return &kmspb.DecryptResponse{Plaintext: plaintext, PlaintextCrc32C: wrapperspb.Int64(sumOf(plaintext)), UsedPrimary: true}, nil
}

func open(name string, right string) (cipher.AEAD, error) {
	switch {
	case strings.HasSuffix(name, "missing"):
		return nil, status.Errorf(codes.NotFound, "CryptoKey %s not found.", name)
	case strings.HasSuffix(name, "denied"):
		return nil, status.Errorf(codes.PermissionDenied, "Permission 'cloudkms.cryptoKeyVersions.%s' denied on resource '%s' (or it may not exist).", right, name)
	case strings.HasSuffix(name, "disabled"):
		return nil, status.Errorf(codes.FailedPrecondition, "%s/cryptoKeyVersions/1 is not enabled, current state is: DISABLED.", name)
	}
	key := sha256.Sum256([]byte(name))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sumOf(bytes []byte) int64 {
	return int64(crc32.Checksum(bytes, crc32.MakeTable(crc32.Castagnoli)))
}
